{{- define "gantry.name" -}}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{- end }}

{{- define "gantry.labels" -}}
app.kubernetes.io/name: gantry
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* What selects the Pods of a component: list ROOT COMPONENT. */}}
{{- define "gantry.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: gantry
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* Metadata of a component's objects: list ROOT COMPONENT. */}}
{{- define "gantry.metadata" -}}
{{- $root := index . 0 -}}
name: {{ include "gantry.name" $root }}-{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "gantry.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* An image of ours: list ROOT WHICH. */}}
{{- define "gantry.image" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- index $root.Values.images (index . 1) }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{- /* What the Pods of a component have at their top: list ROOT COMPONENT ACCOUNT. All satisfy the Pod Security Standard "restricted". */}}
{{- define "gantry.podMetadata" -}}
{{- $root := index . 0 -}}
labels:
  {{- include "gantry.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
{{- with $root.Values.podAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "gantry.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ index . 2 }}
enableServiceLinks: false
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with $root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints: # not all on one node, where there are several
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "gantry.selector" (list $root (index . 1)) | nindent 8 }}
{{- end }}

{{- define "gantry.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{- /* NATS as our processes reach it. */}}
{{- define "gantry.natsHost" -}}
{{- $root := index . 0 -}}
{{ include "gantry.name" $root }}-nats-{{ index . 1 }}.{{ include "gantry.name" $root }}-nats.{{ $root.Release.Namespace }}.svc
{{- end }}
{{- define "gantry.natsURL" -}}
{{- $root := . -}}
{{- if .Values.nats.enabled -}}
{{- range $i := until 3 }}{{ if $i }},{{ end }}tls://{{ include "gantry.natsHost" (list $root $i) }}:4222{{ end -}}
{{- else -}}
{{- join "," .Values.nats.urls | required "nats.urls: where NATS is, because nats.enabled is false" -}}
{{- end -}}
{{- end }}
{{- define "gantry.natsWebSocketURL" -}}
{{- $root := . -}}
{{- if .Values.nats.enabled -}}
{{- range $i := until 3 }}{{ if $i }},{{ end }}wss://{{ include "gantry.natsHost" (list $root $i) }}:9222{{ end -}}
{{- else -}}
{{- join "," .Values.nats.webSocketURLs -}}
{{- end -}}
{{- end }}

{{- define "gantry.publicURL" -}}
{{- required "publicURL: https://host[:port] that people and terraform reach Gantry at" .Values.publicURL | trimSuffix "/" -}}
{{- end }}

{{- /* Where the API is for what runs in this cluster. A certificate of one's own is for the public name only. */}}
{{- define "gantry.address" -}}
{{- if .Values.api.tlsSecret -}}
{{- include "gantry.publicURL" . -}}
{{- else -}}
https://{{ include "gantry.name" . }}-api.{{ .Release.Namespace }}.svc{{ if ne (int .Values.api.service.port) 443 }}:{{ .Values.api.service.port }}{{ end }}
{{- end -}}
{{- end }}

{{- /* What every process has that decides. Two of the files must belong to who reads them, which a Secret's never do: an init container copies them. */}}
{{- define "gantry.serviceEnv" -}}
- { name: GANTRY_DATA_DIR, value: /var/lib/gantry }
- { name: GANTRY_NATS_URL, value: {{ include "gantry.natsURL" . | quote }} }
- { name: GANTRY_CA_FILE, value: /etc/gantry/workers/ca.pem }
- { name: GANTRY_ENCRYPTION_KEY_FILE, value: /etc/gantry/keys/encryption-key }
- name: GANTRY_DATABASE_URL
  valueFrom: { secretKeyRef: { name: {{ .Values.database.secret }}, key: {{ .Values.database.key }} } }
{{- end }}

{{- /* The init container that copies: list ROOT FILE…, each below /etc/gantry. */}}
{{- define "gantry.keys" -}}
{{- $root := index . 0 -}}
- name: keys
  image: {{ include "gantry.image" (list $root "server") }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [install, -m, "0600", -t, /etc/gantry/keys{{ range rest . }}, /etc/gantry/{{ . }}{{ end }}]
  {{- include "gantry.container" $root | nindent 2 }}
  resources:
    requests: { cpu: 10m, memory: 16Mi }
    limits: { memory: 64Mi }
  volumeMounts:
    - { name: services, mountPath: /etc/gantry/services, readOnly: true }
    - { name: keys, mountPath: /etc/gantry/keys }
    {{- if has "api/api.json" . }}
    - { name: api, mountPath: /etc/gantry/api, readOnly: true }
    {{- end }}
{{- end }}

{{- define "gantry.serviceMounts" -}}
- { name: data, mountPath: /var/lib/gantry }
- { name: tmp, mountPath: /tmp }
- { name: keys, mountPath: /etc/gantry/keys, readOnly: true }
- { name: workers, mountPath: /etc/gantry/workers, readOnly: true }
{{- end }}

{{- define "gantry.serviceVolumes" -}}
- { name: data, emptyDir: {} } # holds nothing that must be kept
- { name: tmp, emptyDir: {} }
- { name: keys, emptyDir: { medium: Memory, sizeLimit: 1Mi } }
- { name: services, secret: { secretName: {{ include "gantry.name" . }}-services } }
- { name: workers, secret: { secretName: {{ include "gantry.name" . }}-workers, items: [{ key: ca.pem, path: ca.pem }] } }
{{- end }}

{{- define "gantry.httpProbes" -}}
startupProbe: { httpGet: { path: /healthz, port: http }, periodSeconds: 2, failureThreshold: 300 } # it waits for what is not there yet
livenessProbe: { httpGet: { path: /healthz, port: http }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
readinessProbe: { httpGet: { path: /readyz, port: http }, periodSeconds: 5, timeoutSeconds: 5 }
{{- end }}

{{- define "gantry.pdb" -}}
{{- $root := index . 0 }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "gantry.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "gantry.selector" . | nindent 6 }}
{{- end }}

{{- /* The account of whoever talks to this cluster. */}}
{{- define "gantry.dispatcherAccount" -}}{{ include "gantry.name" . }}-dispatcher{{- end }}
{{- define "gantry.dispatches" -}}
{{- if or .Values.dispatchers (and .Values.server.enabled (gt (int .Values.dispatcher.replicas) 0)) }}true{{ end -}}
{{- end }}
