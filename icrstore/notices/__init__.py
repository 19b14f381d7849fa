"""The subscriber is told: who they are (sealed), what they are owed, the telling and the reading.

Life of a notice: a sweep pulls what is due from both keepers' logs (`pull`); once both have said
what became of a question, one message goes to the contact on file (`deliver`); each leaf that it
told of gets a notice leaf at its keeper (`report`). The subscriber signs in with a one-time code
(`sign_in`) and reads what the keepers logged (`entries`), with the proofs.

Why: the debts are the keepers', so whoever deletes a row here, or stops this process, owes as much
as before, and the keepers count it. The rows are for speed.
"""
