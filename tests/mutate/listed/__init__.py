"""Every mutation, by room; a new one is a line in the file of its room."""

from tests.mutate.listed import at_the_edge, keeper, proofs, sealing, store, verify, warrant

MUTATIONS = (
    *warrant.MUTATIONS,
    *proofs.MUTATIONS,
    *sealing.MUTATIONS,
    *keeper.MUTATIONS,
    *store.MUTATIONS,
    *at_the_edge.MUTATIONS,
    *verify.MUTATIONS,
)
