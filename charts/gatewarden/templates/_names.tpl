{{/* Names are fixed: proxies check the certificate of gatewarden.<namespace>.svc, and one cluster has one operator. */}}
{{- define "gatewarden.labels" -}}
app.kubernetes.io/name: gatewarden
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the operator's pods are found by; never changes, because a Deployment's selector cannot. */}}
{{- define "gatewarden.selector" -}}
app.kubernetes.io/name: gatewarden
app.kubernetes.io/component: operator
{{- end }}

{{- define "gatewarden.fallbackSelector" -}}
app.kubernetes.io/name: gatewarden
app.kubernetes.io/component: fallback
{{- end }}

{{/* `repository:tag`, with the digest where there is one. */}}
{{- define "gatewarden.imageName" -}}
{{ .repository }}:{{ .tag }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "gatewarden.image" -}}
{{- include "gatewarden.imageName" (dict "repository" .Values.image.repository "tag" (.Values.image.tag | default .Chart.AppVersion) "digest" .Values.image.digest) -}}
{{- end }}
