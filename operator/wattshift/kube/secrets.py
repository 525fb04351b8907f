"""Credentials of adapters: one Secret key, given out only for the hosts its owner allowed."""

from __future__ import annotations


class CredentialStore:
    """Labelled Secrets of the credentials namespace, kept by an own watch."""

    def get(self, name: str, key: str, host: str) -> str:
        """Return the value of one key for requests to `host` (`name` or `name:port`).

        Raises:
            NeedsHuman: reason SecretNotFound, SecretNotLabelled, SecretKeyMissing or HostNotAllowed.
        """
        raise NotImplementedError
