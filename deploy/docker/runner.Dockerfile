# What an init container brings into the Pod of a run, whatever image that has: two static programs and nothing else.
#   docker build -f deploy/docker/runner.Dockerfile -t gantry-runner .
ARG GO_VERSION=1.26
FROM golang:${GO_VERSION}-trixie AS build
WORKDIR /src
COPY go.mod go.sum go.work go.work.sum ./
COPY messages/go.mod messages/
COPY examples/producer/go.mod examples/producer/go.sum examples/producer/
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=${VERSION}" -o /out/ ./cmd/gantry-runner ./cmd/gantry-exec

FROM scratch
COPY --from=build /out/gantry-runner /out/gantry-exec /usr/local/bin/
ENV PATH=/usr/local/bin
USER 65532:65532
ENTRYPOINT ["gantry-runner"]
