"""How far a load has come: work in the background, time left, phases, the sentence for a person.

Knows: clocks, threads, :class:`omni.events.Progress`. Does not know: what is loaded. Only
:mod:`omni.loading.progress.reading` imports torch.
"""
