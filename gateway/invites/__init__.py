"""Invites: signed capabilities that carry a record, a grant and names, from whoever issues one to whoever takes it.

Sans-IO: `capability` the signed chain, `texts` it as text, `messages` what is said when one is redeemed, `ledger` what an
issuer knows of those it made, `wallet` what a taker knows of those it took, `spoken` the short code for the telephone.
Shells: `issued`, `held`, `passing`.
"""
