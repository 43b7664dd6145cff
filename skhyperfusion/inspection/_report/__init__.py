"""The parts of `report`: the page, its sections, and the scores in it."""
