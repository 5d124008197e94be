"""The ledger, the artefacts and the run folder."""
