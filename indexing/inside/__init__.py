"""What happens inside an index during one search, as arrays to draw; nothing is drawn here.

One module per index type. Everything is read from the real FAISS object, which is shared and
therefore never changed; each module's numbers are tested against what FAISS itself returns.
"""
