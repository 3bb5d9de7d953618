"""The values that cross the borders between stages, and the seams to the vendors.

Everything here is frozen data, a Protocol, or arithmetic on them. Nothing here does I/O.
"""
