"""Recall against latency against memory: measuring indexes from a thousand vectors to a million.

``rows``      what a measured setting is, and the file that points are kept in
``front``     the Pareto front, crossing points between sizes, and the automatic choice
``padding``   a collection's vectors padded with distractors, real or simulated
``simulate``  the model that simulated distractors are drawn from, and how plausible they are
``questions`` the queries with their ground truth
``grid``      which builds and which searches are measured
``measure``   recall, latency, throughput, memory and distance computations of one build
``run``       measures a grid and appends its points
``live``      builds one setting and answers one query, for the pages
``bare``      the same figures from plain FAISS calls, to compare
``report``    one HTML file that opens offline
"""
