{{- define "ratchet.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* What every object is called: the release, then the part. */}}
{{- define "ratchet.name" -}}
{{ printf "%s-%s" .root.Release.Name .part | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ratchet.selector" -}}
app.kubernetes.io/name: ratchet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "ratchet.labels" -}}
{{ include "ratchet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* The "restricted" Pod Security Standard. */}}
{{- define "ratchet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ratchet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "ratchet.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ratchet.prefectUrl" -}}
http://{{ include "ratchet.name" (dict "root" . "part" "prefect") }}:4200/api
{{- end }}

{{- define "ratchet.mlflowHost" -}}
{{ include "ratchet.name" (dict "root" . "part" "mlflow") }}:5000
{{- end }}

{{- /* secret: the Secret's name; key: its key, and the variable's name. */}}
{{- define "ratchet.fromSecret" -}}
- name: {{ .key }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}
{{- end }}

{{- define "ratchet.trustEnv" -}}
{{- if .Values.trust.configMap }}
- {name: AWS_CA_BUNDLE, value: /etc/ratchet/trust/trust.pem}
- {name: SSL_CERT_FILE, value: /etc/ratchet/trust/trust.pem}
{{- end }}
{{- end }}

{{- define "ratchet.trustMount" -}}
{{- if .Values.trust.configMap }}
- {name: trust, mountPath: /etc/ratchet/trust, readOnly: true}
{{- end }}
{{- end }}

{{- define "ratchet.trustVolume" -}}
{{- if .Values.trust.configMap }}
- name: trust
  configMap: {name: {{ .Values.trust.configMap }}}
{{- end }}
{{- end }}

{{- /* A PodDisruptionBudget's maxUnavailable lets a node be drained even with one replica. */}}
{{- define "ratchet.budget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "ratchet.name" . }}
  labels: {{- include "ratchet.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "ratchet.selector" . | nindent 6 }}
{{- end }}

{{- define "ratchet.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "ratchet.name" . }}
  labels: {{- include "ratchet.labels" . | nindent 4 }}
spec:
  type: ClusterIP
  selector: {{- include "ratchet.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ .port }}, targetPort: http, protocol: TCP}
{{- end }}
