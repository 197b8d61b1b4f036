"""The floor: hot loops and compiled networks. Imports nothing of Cantar's."""
