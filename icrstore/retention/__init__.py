"""It is forgotten: what is left of a day that both keepers have destroyed goes here as well.

End of a day: from 00:00Z of D+365 every keeper refuses day D, and then destroys its keys: from
there the rows are noise, in every backup too. Its shredding certificate is copied here
(`certificates`); once both roles' are held, the day's statements and batches go, and when no
epoch of a month is left, the month's partitions of rows and manifests (`forget`).

Why the keepers first: a clock that is wrong here must not destroy what lives. The janitor holds no
key, and may delete only by functions of the database, which ask the certificates and PostgreSQL's
own clock.
"""
