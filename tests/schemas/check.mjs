// Checks custom resources against their published types: an unknown field is an excess property, which TypeScript refuses
// in a literal. Reads a JSON array of objects, prints a JSON array with a list of complaints for each.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const packages = {
  'cert-manager.io': '@kubernetes-models/cert-manager',
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
}

let input = ''
for await (const chunk of process.stdin) input += chunk
const objects = JSON.parse(input)
const folder = dirname(fileURLToPath(import.meta.url))
const complaints = objects.map(() => [])
const files = new Map()
objects.forEach((object, index) => {
  const from = packages[object.apiVersion.split('/')[0]]
  if (!from) {
    complaints[index].push(`nobody here knows ${object.apiVersion}`)
    return
  }
  const file = join(folder, `object-${process.pid}-${index}.mts`)
  const type = `I${object.kind}`
  const text = `import type { ${type} } from '${from}/${object.apiVersion}/${object.kind}'
export const object: ${type} = ${JSON.stringify(object, null, 1)}
`
  files.set(file, { index, text })
})

const options = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
}
const host = ts.createCompilerHost(options)
const [read, exists, source] = [host.readFile, host.fileExists, host.getSourceFile]
host.fileExists = (name) => files.has(name) || exists.call(host, name)
host.readFile = (name) => files.get(name)?.text ?? read.call(host, name)
host.getSourceFile = (name, ...rest) =>
  files.has(name) ? ts.createSourceFile(name, files.get(name).text, rest[0]) : source.call(host, name, ...rest)
const program = ts.createProgram([...files.keys()], options, host)
for (const problem of ts.getPreEmitDiagnostics(program)) {
  const index = problem.file && files.get(problem.file.fileName)?.index
  const text = ts.flattenDiagnosticMessageText(problem.messageText, '\n')
  for (const list of index === undefined ? complaints : [complaints[index]]) list.push(text)
}
console.log(JSON.stringify(complaints))
