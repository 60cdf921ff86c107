"""Certificates of an authority of the tests' own."""

from __future__ import annotations

import ssl

import trustme
from attrs import field, frozen


@frozen
class Pki:
    """A certificate authority nobody trusts, until told to."""

    authority: trustme.CA = field(factory=trustme.CA)

    def server(self, name: str = "127.0.0.1") -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(name).configure_cert(context)
        return context

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        return context
