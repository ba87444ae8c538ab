"""Before a load: what a checkpoint will take and whether it fits, how it likes to answer.

Nothing is loaded for it, nothing is fetched and nobody is asked over the network.
"""
