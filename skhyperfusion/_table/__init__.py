"""Any table as columns whose roles are known, and as finite numbers."""
