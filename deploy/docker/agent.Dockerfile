# An agent: docs/agents.md.
#   docker build -f deploy/docker/agent.Dockerfile -t gantry-agent .
ARG GO_VERSION=1.26
FROM golang:${GO_VERSION}-trixie AS build
WORKDIR /src
COPY go.mod go.sum go.work go.work.sum ./
COPY messages/go.mod messages/
COPY examples/producer/go.mod examples/producer/go.sum examples/producer/
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=${VERSION}" -o /out/ ./cmd/gantry-agent ./cmd/gantry-runner ./cmd/gantry-exec

FROM debian:trixie-slim
# git and ssh fetch modules; terraform and tofu themselves are installed by the agent, verified, when a workspace wants them.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home gantry \
 && install -d -o gantry -g gantry -m 0711 /var/lib/gantry
# The agent can do alone what the two others do, but they are smaller and start faster.
COPY --from=build /out/gantry-agent /out/gantry-runner /out/gantry-exec /usr/local/bin/
USER 10001:10001
ENV GANTRY_AGENT_DATA_DIR=/var/lib/gantry/agent
VOLUME /var/lib/gantry
ENTRYPOINT ["gantry-agent"]
