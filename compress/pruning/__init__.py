"""Which channels must go together, which may go, and the cut itself; on the ATen graph, so no network needs to help.

Every element of every tensor carries a label. Operators pass labels on (a view rearranges them, a residual sum ties two of
them together, a convolution makes new ones), so that in the end a label is a channel with all its copies anywhere in the
network, and removing it means removing its elements from every tensor and its slices from every weight:

    analysis.py    runs the graph once and labels it, by the rules of `rules/`, one entry an operator
    choice.py      which labels go: a share of each group, or the least important of all under a budget
    criteria.py    how important a label is
    surgery.py     slices the weights, corrects the sizes written into operators, compares with the masked network
    correction.py  solves the remaining weights anew so that layers answer as before (least squares)
"""
