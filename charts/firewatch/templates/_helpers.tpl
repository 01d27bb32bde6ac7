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
{{/* What the operator's pods have in common, and their Service, PodDisruptionBudget and NetworkPolicy select on. */}}
{{- define "firewatch.selector" -}}
app.kubernetes.io/name: firewatch
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{/* The operator's image, by digest where one is given. */}}
{{- define "firewatch.image" -}}
{{ .Values.image.repository }}{{ if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end }}
{{- end }}
{{- define "firewatch.imagePullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{/* Where the operator's pods run: fields of a pod's spec. */}}
{{- define "firewatch.placement" -}}
{{- include "firewatch.imagePullSecrets" . }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
- {{- merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "firewatch.selector" $ | fromYaml))) | toYaml | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The file of channels and routes. */}}
{{- define "firewatch.notifications" -}}
{{ dict "channels" .Values.notifications.channels "routes" .Values.notifications.routes | toYaml }}
{{- end }}

{{/* Where it and its secrets are, for the operator and for its check. */}}
{{- define "firewatch.notificationMounts" -}}
- {name: notifications, mountPath: /etc/firewatch/notifications.d, readOnly: true}
{{- range .Values.notifications.secrets }}
- {name: {{ printf "notify-%s" (sha256sum . | trunc 16) }}, mountPath: {{ printf "/etc/firewatch/notifications/%s" . | quote }}, readOnly: true}
{{- end }}
{{- end }}
{{- define "firewatch.notificationVolumes" -}}
- {name: notifications, configMap: {name: firewatch-notifications}}
{{- range .Values.notifications.secrets }}
- {name: {{ printf "notify-%s" (sha256sum . | trunc 16) }}, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
{{- end }}
{{- end }}
