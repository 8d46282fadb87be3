{{- define "stoker.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "stoker.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "stoker.labels" -}}
{{ include "stoker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "stoker.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "stoker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "stoker.tokens" -}}
{{- default (printf "%s-tokens" (include "stoker.fullname" .)) .Values.tokens.existingSecret -}}
{{- end -}}

{{- define "stoker.scheme" -}}
{{- if .Values.tls.secretName }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* The action of a probe. The argument: root, the chart's context; path, the path of the HTTP probe. */}}
{{- define "stoker.probe" -}}
{{- $tls := .root.Values.tls -}}
{{- if and $tls.secretName $tls.clientCA -}}
exec:
  # The kubelet has no certificate for the listener, but an open port says that the models of the start are loaded.
  command: [python3, -c, "import socket; socket.create_connection(('127.0.0.1', 8080), 2)"]
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- if $tls.secretName }}
  scheme: HTTPS
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Values that do not go together. */}}
{{- define "stoker.check" -}}
{{- if and (eq .Values.probes.kind "grpc") .Values.tls.secretName -}}
{{- fail "probes.kind=grpc needs a listener without TLS: the kubelet's gRPC probe speaks none. Use probes.kind=http." -}}
{{- end -}}
{{- if and .Values.tls.clientCA (not .Values.tls.secretName) -}}
{{- fail "tls.clientCA needs tls.secretName." -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas." -}}
{{- end -}}
{{- if and .Values.tokens.disabled .Values.management.expose .Values.management.modelApi -}}
{{- fail "management.expose with management.modelApi lets everybody run code in the pods if tokens.disabled is set." -}}
{{- end -}}
{{- end -}}
