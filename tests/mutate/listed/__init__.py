"""Every mutation, by room; a new one is a line in the file of its room."""

from tests.mutate.listed import (
    arriving,
    asking,
    at_the_edge,
    destroying,
    exporters,
    keeper,
    mending,
    proofs,
    reading,
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
    *reading.MUTATIONS,
    *arriving.MUTATIONS,
    *store.MUTATIONS,
    *destroying.MUTATIONS,
    *exporters.MUTATIONS,
    *at_the_edge.MUTATIONS,
    *verify.MUTATIONS,
    *watching.MUTATIONS,
)
