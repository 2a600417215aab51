# A dispatcher near the cluster of a k8s config that was made with --remote: docs/kubernetes.md.
#   docker build -f deploy/docker/dispatcher.Dockerfile -t gantry-dispatcher .
ARG GO_VERSION=1.26
FROM golang:${GO_VERSION}-trixie AS build
WORKDIR /src
COPY go.mod go.sum go.work go.work.sum ./
COPY messages/go.mod messages/
COPY examples/producer/go.mod examples/producer/go.sum examples/producer/
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=${VERSION}" -o /out/ ./cmd/gantry-dispatcher

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/gantry-dispatcher /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["gantry-dispatcher"]
