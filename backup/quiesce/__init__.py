"""Nobody writes while voltar reads: who uses a source is paused or stopped, and runs again after.

`plan` decides purely who is touched, in which order; `journal` writes down what is about to be
done; `window` does it; `recovery` makes good what a killed run left.
"""
