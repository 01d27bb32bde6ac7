{{/* Labels of everything that the chart makes. */}}
{{- define "firewatch.labels" -}}
app.kubernetes.io/name: firewatch
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: firewatch
{{- end }}
{{- define "firewatch.databaseSecret" -}}
{{ .Values.database.existingSecret | default "firewatch-database" }}
{{- end }}
