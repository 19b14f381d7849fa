"""Every mutation, by room; a new one is a line in the file of its room."""

from tests.mutate.listed import (
    arriving,
    asking,
    at_the_edge,
    bindings,
    destroying,
    keeper,
    mending,
    proofs,
    sealing,
    steps,
    store,
    taken_back,
    verify,
    warrant,
    watching,
)

MUTATIONS = (
    *warrant.MUTATIONS,
    *proofs.MUTATIONS,
    *sealing.MUTATIONS,
    *keeper.MUTATIONS,
    *steps.MUTATIONS,
    *asking.MUTATIONS,
    *taken_back.MUTATIONS,
    *mending.MUTATIONS,
    *arriving.MUTATIONS,
    *store.MUTATIONS,
    *destroying.MUTATIONS,
    *at_the_edge.MUTATIONS,
    *bindings.MUTATIONS,
    *verify.MUTATIONS,
    *watching.MUTATIONS,
)
