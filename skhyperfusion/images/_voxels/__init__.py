"""From voxels as read to voxels as wanted: geometry, crops, intensity."""
