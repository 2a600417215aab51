// Package pgserver runs a private Postgres that belongs to Gantry alone: found or unpacked (Find), created, started,
// watched, restarted and stopped (Start, Server.Stop). Nothing of the system is changed, nothing listens on the network.
//
//	Place ──▶ home/                root's, 0711 (0700 when Gantry is not root)
//	           lock                held while a Gantry uses this home; the kernel lets go of it when that Gantry dies
//	           postgres.log        what Postgres says, opened by Gantry
//	           init-*/             an initdb under way; what is left of a killed one is removed at the next start
//	           data/               the data folder: only ever a whole one, because it is renamed from init-*/
//	           run/                the unix socket (elsewhere when this path is too long for a socket)
//
// data and run are 0700 and belong to the user Postgres runs as, which is never root. That folder permission is the
// authentication: whoever can reach the socket is let in, so nothing untrusted may run as that user.
//
// A killed Gantry leaves its Postgres running (it is in a session of its own). The next one, once it holds the lock,
// stops that Postgres and starts another: then there is one case to supervise instead of two, and a clean stop costs
// a fraction of a second. A killed Postgres is started again and recovers from its write-ahead log.
package pgserver
