{{- define "layerstore.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "layerstore.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "layerstore.labels" -}}
{{ include "layerstore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "layerstore.roots" -}}
{{- $roots := list }}
{{- range $engine := list "docker" "containerd" }}
{{- with index $.Values.roots $engine }}{{ $roots = append $roots (dict "engine" $engine "path" .) }}{{ end }}
{{- end }}
{{- toYaml $roots }}
{{- end }}
