"""`f^U`: how M[t] becomes M[t+1]."""
