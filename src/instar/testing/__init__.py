"""For us and for plug-in authors: fakes and checks."""
