"""Reader studies: people judge real and synthetic frames without knowing which are which.

Polyp-Gen asks two gastroenterologists which frames are real (Table IV); CCIS-Diff has frames rated from 1 to 5
for fidelity, mask and text (Table 2). `make_study` writes the page that readers answer and the key that stays with the
organiser; `score_study` reads their answers.
"""
