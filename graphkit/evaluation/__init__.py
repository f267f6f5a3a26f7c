"""Full-catalogue ranking metrics, simple peers, intervals."""
