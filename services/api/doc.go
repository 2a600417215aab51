// Package api serves HTTP: TFE's objects under /api/v2 in TFE's JSON:API shapes (tfe_*.go), Gantry's own calls under
// /api/gantry/v1 as plain JSON (gantry_*.go), signed URLs, discovery and probes.
//
// Every call is a row of one table (routes.go): method, pattern, who may call it, what it takes and gives, and its handler.
// The OpenAPI document in schemas/ is generated from that table. A handler returns a reply or an error; errors carry a code
// of the closed list in messages and become TFE's error document in one place (errors.go).
package api
