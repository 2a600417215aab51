// Package secrets holds the three things Gantry does with secrets: making and hashing bearer tokens,
// encrypting what is stored (Keyring), and writing files that only their owner can read.
//
// Tokens are 256 random bits, so a plain SHA-256 is a sound way to store them: there is nothing to guess.
// Encryption is AES-256-GCM by tink, with a keyset (not a bare key) on disk, so that keys can be rotated.
package secrets
