"""The generated sample world."""
