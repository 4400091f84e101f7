{{/* The reference of an image: repository, and digest or tag. Takes [values, context]. */}}
{{- define "bodega.reference" -}}
{{- $image := index . 0 -}}
{{- $context := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default $context.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The metadata of a resource. Takes [name, value of app.kubernetes.io/name or "", component or "", context]. */}}
{{- define "bodega.metadata" -}}
{{- $context := index . 3 -}}
name: {{ index . 0 }}
namespace: {{ $context.Release.Namespace }}
labels:
  {{- include "bodega.labels" (list (index . 1) (index . 2)) | nindent 2 }}
{{- end }}

{{/* Takes [name, component]. */}}
{{- define "bodega.labels" -}}
{{- with index . 0 }}
app.kubernetes.io/name: {{ . }}
{{- end }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/part-of: bodega
{{- end }}

{{/* What the pods of our host have alike. Takes the name of the ServiceAccount. */}}
{{- define "bodega.pod" -}}
serviceAccountName: {{ . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "bodega.user" 65532 | nindent 2 }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {app.kubernetes.io/part-of: bodega}}
    matchLabelKeys: [app.kubernetes.io/name, pod-template-hash]
  {{- end }}
{{- end }}

{{/* A pod that is nobody in particular. Takes the user's number. */}}
{{- define "bodega.user" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* A container that may do nothing in particular. */}}
{{- define "bodega.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What the containers of our host have alike, but for arguments, environment and mounts. Takes the context. */}}
{{- define "bodega.container" -}}
name: bodega
image: {{ include "bodega.reference" (list .Values.image .) }}
ports:
  - {name: http, containerPort: 8080}
  - {name: admin, containerPort: 3001}
startupProbe:
  httpGet: {path: /startupz, port: http}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
securityContext:
  {{- include "bodega.confined" . | nindent 2 }}
{{- end }}

{{/* The environment of our host. */}}
{{- define "bodega.environment" -}}
- {name: SPIN_HTTP_LISTEN_ADDR, value: "0.0.0.0:8080"}
- {name: BODEGA_ADMIN_LISTEN, value: "0.0.0.0:3001"}
- {name: BODEGA_STATE_DIR, value: /var/lib/bodega/state}
- {name: BODEGA_LOG_FORMAT, value: json}
{{- end }}

{{/* A variable from a key of the Secret `bodega-secrets`. Takes [key, whether it may be missing]. */}}
{{- define "bodega.secret" -}}
- name: SPIN_VARIABLE_{{ index . 0 }}
  valueFrom: {secretKeyRef: {name: bodega-secrets, key: {{ index . 0 }}{{ if index . 1 }}, optional: true{{ end }}}}
{{- end }}

{{/* Those of the workloads with these names, as peers of a NetworkPolicy. */}}
{{- define "bodega.peers" -}}
{{- range . }}
- podSelector: {matchLabels: {app.kubernetes.io/name: {{ . }}}}
{{- end }}
{{- end }}

{{/* Everything outside of the cluster. */}}
{{- define "bodega.internet" -}}
- ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 100.64.0.0/10, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16]}
{{- end }}

{{/* The autoscaler of a Deployment. Takes [name, component, replicas, requests a second or 0, context]. */}}
{{- define "bodega.autoscaler" -}}
{{- $context := index . 4 -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "bodega.metadata" (list (index . 0) (index . 0) (index . 1) $context) | nindent 2 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ index . 0 }}}
  minReplicas: {{ (index . 2).min }}
  maxReplicas: {{ (index . 2).max }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $context.Values.defaults.cpuUtilization }}}
    {{- with index . 3 }}
    - type: Pods
      pods:
        metric: {name: bodega_http_requests_per_second}
        target: {type: AverageValue, averageValue: {{ . | quote }}}
    {{- end }}
  # Up at once and by as much as doubles it, down slowly, so that the next wave finds the pods of the last one.
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies:
        - {type: Percent, value: 100, periodSeconds: 15}
        - {type: Pods, value: 4, periodSeconds: 15}
    scaleDown:
      stabilizationWindowSeconds: 300
      selectPolicy: Min
      policies:
        - {type: Percent, value: 20, periodSeconds: 60}
        - {type: Pods, value: 2, periodSeconds: 60}
{{- end }}

{{/* ServiceAccount, Service and PodDisruptionBudget of a workload of our host. Takes [name, component, context]. */}}
{{- define "bodega.workload" -}}
{{- $name := index . 0 -}}
{{- $context := index . 2 -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "bodega.metadata" (list $name $name "" $context) | nindent 2 }}
automountServiceAccountToken: false
---
apiVersion: v1
kind: Service
metadata:
  {{- include "bodega.metadata" (list $name $name (index . 1) $context) | nindent 2 }}
spec:
  type: ClusterIP
  selector: {app.kubernetes.io/name: {{ $name }}}
  ports:
    - {name: http, port: 80, targetPort: http}
    - {name: admin, port: 3001, targetPort: admin}
---
{{ include "bodega.budget" (list $name $context) }}
{{- end }}

{{/* Takes [name, context]. */}}
{{- define "bodega.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "bodega.metadata" (list (index . 0) (index . 0) "" (index . 1)) | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {app.kubernetes.io/name: {{ index . 0 }}}
{{- end }}
