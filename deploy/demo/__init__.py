"""The whole story on real processes, told by the commands that each person runs.

1. `provider`: an ISP joins, its collector enrols, its subscribers are loaded, a day is pushed.
2. `authority`: a warrant for each of the three questions; each is put, answered and opened.
3. `keepers`: what goes beyond a warrant is refused; what both logs say.
4. `subscriber`: the one who was asked about is told, signs in and takes the proof along.

`count` counts the input by itself, in SQL: what an answer says must equal it, or the telling fails.
"""
