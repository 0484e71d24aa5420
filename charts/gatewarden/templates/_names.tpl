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

{{- define "gatewarden.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}:{{ $tag }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end }}
