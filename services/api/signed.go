package api

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gantry.example/messages"
	"gantry.example/services/postgres"
)

// maxUnpacked bounds what an archive may unpack to, in bytes.
const maxUnpacked = 2 << 30

// What a signature permits.
const (
	signedUpload = "upload" // of the configuration version
	signedLog    = "log"    // of "run/phase"
)

// signedRoutes are the calls whose address is the permission.
func (s *Server) signedRoutes() []route {
	const base = "/api/v2/signed/{signature}"
	return []route{
		{method: "PUT", pattern: base + "/configuration-versions/{id}", access: public, handle: s.uploadConfiguration,
			summary: "Upload the archive (tar.gz) of a configuration version", in: []byte{}, status: http.StatusOK,
			maxBody: maxConfiguration, streamed: true, permit: func(r *request) error {
				return s.signer.check(signedUpload, r.PathValue("id"), r.PathValue("signature"), time.Now())
			}},
		{method: "GET", pattern: base + "/logs/{run}/{phase}", access: public, handle: s.readLog,
			summary: "Read the log of a plan or apply: STX, the log, and ETX at its end; an empty answer is held back for a while, but with wait=0",
			out:     []byte{}, media: "text/plain", query: []string{"limit", "offset", "wait"}, permit: func(r *request) error {
				return s.signer.check(signedLog, r.PathValue("run")+"/"+r.PathValue("phase"), r.PathValue("signature"), time.Now())
			}},
	}
}

func (s *Server) uploadConfiguration(r *request) (reply, error) {
	_, err := s.db.UploadConfiguration(r.Context(), r.PathValue("id"), postgres.Upload{
		Body: r.Body, Size: r.ContentLength, Check: func(archive io.Reader) error { return checkArchive(archive, maxUnpacked) },
	})
	return reply{}, err
}

// checkArchive finds a body that is no tar.gz, or only the beginning of one. What the archive's entries may be is for the
// runner to judge, which unpacks them.
func checkArchive(body io.Reader, limit int64) error {
	bad := func(problem string) error {
		return &postgres.Error{Code: messages.CodeConfigurationInvalid, Message: "the configuration is not a usable tar.gz archive: " + problem}
	}
	zipped, err := gzip.NewReader(body)
	if err != nil {
		return bad("it is not compressed with gzip")
	}
	unpacked := &io.LimitedReader{R: zipped, N: limit}
	for t := tar.NewReader(unpacked); err == nil; {
		_, err = t.Next()
	}
	if errors.Is(err, io.EOF) { // the end of the tar; the checksum of gzip stands behind it
		_, err = io.Copy(io.Discard, unpacked)
	}
	switch {
	case unpacked.N == 0:
		return bad(fmt.Sprintf("it unpacks to more than %d GiB, the most that this server takes", limit>>30))
	case err != nil:
		return bad("it is damaged or cut off (" + err.Error() + ")")
	default:
		return nil
	}
}
