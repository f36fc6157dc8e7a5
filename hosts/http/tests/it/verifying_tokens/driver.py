"""Asks the verifier of docs/verifying-tokens.md about one token a line."""

import sys
import time

from verifier import AccessTokenVerifier

jwks_url, issuer, audience = sys.argv[1:]
verifier = AccessTokenVerifier(jwks_url, issuer, audience)
ahead, monotonic = 0, time.monotonic
time.monotonic = lambda: monotonic() + ahead

for line in sys.stdin:
    line = line.rstrip("\n")
    if line.startswith("later "):
        ahead += int(line[6:])
        print("later", flush=True)
        continue
    try:
        print("good:", verifier.verify(line)["sub"], flush=True)
    except Exception as error:  # Its name says which one it is.
        print(f"{type(error).__name__}: {error}", flush=True)
