/**
 * The rules of this house, read from the source. Each is a function of the tree that answers with the places that break it, as
 * `path:line: what is wrong`. The tables at the top say the same as the drawing in ARCHITECTURE.md.
 */
import { posix } from 'node:path'
import { isNode, lineAt, type Node, parse, type Tree, walk } from './tree.ts'

/** Room → what its files may import besides their own room: a room, a folder (`/` at its end) or one file. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  genesis: [],
  execution: ['genesis'],
  precompiles: ['execution', 'genesis'],
  consensus: ['execution', 'genesis'],
  settlement: ['execution', 'genesis'],
  p2p: ['execution', 'genesis'],
  rpc: ['execution', 'genesis'],
  node: ['genesis', 'execution', 'precompiles', 'consensus', 'settlement', 'p2p', 'rpc', 'contracts', 'worker'],
  contracts: ['settlement/abi.ts', 'genesis/params.ts'],
  worker: ['rpc/client.ts', 'execution/tx.ts', 'execution/receipt.ts', 'execution/assert.ts', 'execution/native/', 'genesis/params.ts'],
  web: ['rpc/client.ts', 'execution/tx.ts', 'execution/receipt.ts', 'execution/assert.ts', 'execution/native/', 'genesis/params.ts'],
  test: ['*'],
  '.ci': [],
}

/** Rooms that are functions of what they are given, and the files among them that talk to the world. */
const PURE_ROOMS = ['genesis', 'execution', 'precompiles', 'consensus', 'settlement']
const IMPURE_FILES = ['settlement/l1.ts', 'settlement/l1Http.ts']

/** Names by which the world reaches into a pure room. */
const WORLD = new Set(
  `Date performance crypto process console globalThis global window self navigator fetch WebSocket XMLHttpRequest EventSource Worker Buffer
   setTimeout setInterval setImmediate queueMicrotask requestAnimationFrame localStorage indexedDB require`.split(/\s+/),
)

/** What a file of a pure room may use of them, because it asks first whether it is there, and does the same without. */
const WORLD_IF_PRESENT: Readonly<Record<string, string>> = { 'execution/hex.ts': 'Buffer' }

/** The same for files at the root: vitest is told there in which order its files run. */
const ROOT_MAY_IMPORT = ['test/house/']

const TOP_FOLDERS = [...Object.keys(MAY_IMPORT), 'docs']
const TOP_FILES = [
  ...['README.md', 'ARCHITECTURE.md', 'STYLE.md', 'LICENSE', 'SECURITY.md', 'CONTRIBUTING.md'],
  ...[
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'biome.json',
    'vitest.config.ts',
    'install.mjs',
    '.gitignore',
    '.gitattributes',
    '.npmrc',
  ],
]
const NAMES_BANNED = new Set(
  `index util utils common helper helpers core shared types interfaces constants errors misc lib src packages service services manager managers
   controller controllers provider providers mock mocks scripts base`.split(/\s+/),
)

/** Packages that bring code for Node alone. secp256k1 is none: its `browser` field names a JavaScript form. */
const NODE_ONLY = /^(node:|@chainsafe\/|@crate-crypto\/|@foundry-rs\/|@ethereumjs\/vm|level|classic-level|ws|node$)/

/** Files that run without being imported. Tests, and whatever package.json's scripts name, are entries too. */
const ENTRIES = [
  'install.mjs',
  'vitest.config.ts',
  '.ci/count.ts',
  'node/main.ts',
  'worker/main.ts',
  'test/bench/peersAdapter.ts',
  'test/execution/replay.ts',
]

/** The only places that may read the process's arguments and environment; tests may as well. */
const READS_ARGV = ['node/main.ts', 'node/config.ts', 'contracts/compile.ts', '.ci/count.ts', 'install.mjs']

const GENERATED = ['settlement/abi.ts', 'contracts/artifacts.ts']
const FUNCTION_LINES_MAX = 70
const LINE_WIDTH_MAX = 160

/** All rules, by the sentence they hold. */
export const RULES: Readonly<Record<string, (tree: Tree) => string[]>> = {
  'every file parses': everyFileParses,
  'imports point down and siblings never import one another': importsFollowTheRooms,
  'pure rooms have no clock, randomness, timer, network, process or log': pureRoomsArePure,
  'what the browser loads needs no Node': browserNeedsNoNode,
  'every file is reached from an entry or a test': noDeadFiles,
  'names say the noun': namesSayTheNoun,
  'the root holds the rooms and nothing else': theRootHoldsTheRooms,
  'no any, no non-null assertion, no silenced compiler': noEscapesFromTypes,
  'nothing is left for later and no machine is named': noLeftovers,
  'lines and functions fit the page': linesAndFunctionsFit,
  'arguments and environment are read in one place': argvIsReadInOnePlace,
  'every exported function says what it promises': exportsAreDocumented,
  'files and headings that texts mention exist': mentionsResolve,
}

function everyFileParses(tree: Tree): string[] {
  return code(tree).flatMap(([path, text]) => (parse(text) === undefined ? [`${path}:1: syntax error`] : []))
}

function importsFollowTheRooms(tree: Tree): string[] {
  return imports(tree).flatMap(({ path, line, specifier, target }) => {
    if (target === undefined) return specifier.startsWith('.') ? [`${path}:${line}: ${specifier} does not exist`] : []
    const [from, to] = [roomOf(path), roomOf(target)]
    if (from === to) return []
    const allowed = (from === '' ? ROOT_MAY_IMPORT : MAY_IMPORT[from])?.some(
      (entry) => entry === '*' || entry === to || entry === target || (entry.endsWith('/') && target.startsWith(entry)),
    )
    return allowed ? [] : [`${path}:${line}: ${from || 'the root'} may not import ${target}`]
  })
}

function pureRoomsArePure(tree: Tree): string[] {
  const inRoom = (path: string): boolean => PURE_ROOMS.includes(roomOf(path)) && !IMPURE_FILES.includes(path)
  const fromNode = imports(tree).flatMap(({ path, line, specifier }) =>
    inRoom(path) && specifier.startsWith('node:') ? [`${path}:${line}: a pure room may not import ${specifier}`] : [],
  )
  return [...fromNode, ...code(tree).flatMap(([path, text]) => (inRoom(path) ? worldsUsed(path, text) : []))]
}

/** Uses of the world's names that the file did not declare itself, and of `Math.random`. */
function worldsUsed(path: string, text: string): string[] {
  const program = parse(text)
  if (program === undefined) return []
  const declared = declaredNames(program)
  const found: string[] = []
  for (const { node, parent, key } of walk(program)) {
    const isRandom = node.type === 'MemberExpression' && nameOf(node.object) === 'Math' && nameOf(node.property) === 'random'
    const name = isRandom ? 'Math.random' : nameOf(node)
    const isKey = (key === 'property' || key === 'key') && parent?.computed !== true
    const isType = parent?.type === 'TSTypeReference' || parent?.type === 'TSQualifiedName'
    if (name === undefined || isKey || isType || declared.has(name)) continue
    if (isRandom || (WORLD.has(name) && WORLD_IF_PRESENT[path] !== name))
      found.push(`${path}:${lineAt(text, node.start)}: a pure room may not use ${name}`)
  }
  return found
}

function browserNeedsNoNode(tree: Tree): string[] {
  const entries = [...tree.keys()].filter((path) => roomOf(path) === 'web' && isCode(path) && !path.endsWith('.config.ts'))
  const values = imports(tree).filter(({ isType }) => !isType)
  const reached = reach(tree, [...entries, 'rpc/client.ts'], values)
  const fromNode = values.filter(({ path, specifier }) => reached.has(path) && NODE_ONLY.test(specifier))
  return fromNode.map(({ path, line, specifier }) => `${path}:${line}: web/ loads this file, which imports ${specifier}`)
}

function noDeadFiles(tree: Tree): string[] {
  const scripts = Object.values<string>(JSON.parse(tree.get('package.json') ?? '{}').scripts ?? {}).join(' ')
  const isEntry = (path: string): boolean =>
    ENTRIES.includes(path) ||
    scripts.split(/\s+/).includes(path) ||
    /^test\/.*\.(test|bench)\.ts$/.test(path) ||
    /^web\/.*(main\.tsx?|config\.ts)$/.test(path)
  const alive = reach(tree, [...tree.keys()].filter(isEntry), imports(tree))
  return code(tree).flatMap(([path]) => (alive.has(path) ? [] : [`${path}:1: nothing imports this file`]))
}

function namesSayTheNoun(tree: Tree): string[] {
  return [...tree.keys()].flatMap((path) => {
    const banned = path.split('/').find((part) => NAMES_BANNED.has(part.replace(/\.\w+$/, '').toLowerCase()) && part !== 'index.html')
    return banned === undefined ? [] : [`${path}:1: "${banned}" says nothing about what is inside`]
  })
}

function theRootHoldsTheRooms(tree: Tree): string[] {
  return [...tree.keys()].flatMap((path) => {
    const [top = '', ...rest] = path.split('/')
    return (rest.length === 0 ? TOP_FILES : TOP_FOLDERS).includes(top) ? [] : [`${path}:1: ${top} does not belong at the root`]
  })
}

function noEscapesFromTypes(tree: Tree): string[] {
  const words: Record<string, string> = { TSAnyKeyword: 'any', TSNonNullExpression: 'a non-null assertion', TSEnumDeclaration: 'an enum' }
  const inTree = code(tree).flatMap(([path, text]) => {
    const program = parse(text)
    const visits = program === undefined ? [] : walk(program)
    return visits.flatMap(({ node }) =>
      words[node.type] === undefined ? [] : [`${path}:${lineAt(text, node.start)}: ${words[node.type]}`],
    )
  })
  return [...inTree, ...linesThat(tree, isCode, /@ts-(ignore|nocheck)/, 'silences the compiler')]
}

function noLeftovers(tree: Tree): string[] {
  const isOurs = (path: string): boolean => isText(path) && path !== 'package-lock.json' && path !== 'LICENSE'
  return [
    ...linesThat(tree, isOurs, /\b(T[O]DO|F[I]XME|X{3}|HA[C]K)\b|not [i]mplemented/i, 'leaves work for later'),
    ...linesThat(tree, isOurs, /(?<![\w.$:*}\])-])\/(work|home|root|Users)\/\w/, 'names a path of one machine'),
  ]
}

function linesAndFunctionsFit(tree: Tree): string[] {
  const isOurs = (path: string): boolean => /\.(ts|tsx|mjs|sol)$/.test(path) && !GENERATED.includes(path)
  // A line that is one string (an ABI, an EIP-712 type) stays whole, so that it can be searched for.
  const wideLine = new RegExp(`^(?!\\s*(\\w+: )?(['"\`]).*\\2,?$).{${LINE_WIDTH_MAX + 1}}`, 'u')
  const wide = linesThat(tree, isOurs, wideLine, `is wider than ${LINE_WIDTH_MAX}`)
  const long = code(tree).flatMap(([path, text]) => {
    const program = parse(text)
    const functions =
      program === undefined
        ? []
        : walk(program)
            .map(({ node }) => node)
            .filter(isFunction)
    return functions.flatMap((node) => {
      const lines = ownLines(text, node)
      return lines <= FUNCTION_LINES_MAX ? [] : [`${path}:${lineAt(text, node.start)}: a function of ${lines} lines`]
    })
  })
  return [...wide, ...long]
}

/** Lines of a function less those of the functions within it: what lives as a closure is read one inner function at a time. */
function ownLines(text: string, node: Node): number {
  let lines = linesOf(text, node)
  const inner = (child: Node): void => {
    for (const value of Object.values(child).flat()) {
      if (!isNode(value)) continue
      if (isFunction(value)) lines -= linesOf(text, value) - 1
      else inner(value)
    }
  }
  inner(node)
  return lines
}

function argvIsReadInOnePlace(tree: Tree): string[] {
  return code(tree).flatMap(([path, text]) => {
    const program = parse(text)
    if (program === undefined || roomOf(path) === 'test' || READS_ARGV.includes(path)) return []
    const reads = walk(program).filter(({ node }) => {
      if (node.type === 'ImportDeclaration') return isNode(node.source) && node.source.value === 'node:process'
      return node.type === 'MemberExpression' && nameOf(node.object) === 'process' && /^(env|argv)$/.test(nameOf(node.property) ?? '')
    })
    return reads.map(({ node }) => `${path}:${lineAt(text, node.start)}: arguments and environment are read by node/config.ts`)
  })
}

function exportsAreDocumented(tree: Tree): string[] {
  return code(tree).flatMap(([path, text]) => {
    const program = parse(text)
    if (program === undefined || roomOf(path) === 'test' || GENERATED.includes(path)) return []
    const body = Array.isArray(program.body) ? program.body.filter(isNode) : []
    const isFunctionExported = (node: Node | undefined): node is Node =>
      node?.type === 'ExportNamedDeclaration' && isNode(node.declaration) && isFunction(node.declaration)
    const isDocumented = (node: Node): boolean => text.slice(0, node.start).trimEnd().endsWith('*/')
    // The second of a pair (encode, decode) may lean on the comment of the first.
    const isPaired = (node: Node | undefined): boolean => isFunctionExported(node) && isDocumented(node)
    const bare = body.filter((node, i) => isFunctionExported(node) && !isDocumented(node) && !isPaired(body[i - 1]))
    return bare.map((node) => `${path}:${lineAt(text, node.start)}: an exported function without a doc comment`)
  })
}

function mentionsResolve(tree: Tree): string[] {
  return [...tree].flatMap(([path, text]) => {
    // A decision speaks of its day; the rejecting cases speak of files that are not there.
    if (path.startsWith('docs/decisions/') || path === 'test/house/rules.test.ts') return []
    const isPage = path.endsWith('.md')
    if (!isPage && !/\.(ts|tsx|sol)$/.test(path)) return []
    return (isPage ? mentionsOfPage(text) : mentionsOfCode(text)).flatMap(({ target, offset }) =>
      exists(tree, path, target) ? [] : [`${path}:${lineAt(text, offset)}: ${target} does not exist`],
    )
  })
}

type Mention = { readonly target: string; readonly offset: number }

/** Links, files in backticks, and files named in running text of a Markdown page. */
function mentionsOfPage(text: string): Mention[] {
  const prose = text.replace(/^(```|~~~)[\s\S]*?^\1/gm, (block) => block.replace(/[^\n]/g, ' '))
  const links = matches(prose, /\]\((?!\w+:)([^)\s]+)\)/g)
  const files = matches(prose, /`((?:[\w.-]+\/)*[\w.-]+\.(?:ts|tsx|mjs|md|json|sol)(?:#[\w-]+)?)`/g)
  const folders = matches(prose, /`([\w.-]+(?:\/[\w.-]+)*\/)`/g)
  const mentions = [...links, ...files, ...folders, ...mentionsOfCode(prose)]
  return mentions.filter(({ target, offset }, i) => mentions.findIndex((other) => other.target === target && other.offset === offset) === i)
}

/** Pages of docs/ that a text names, with their headings. */
function mentionsOfCode(text: string): Mention[] {
  return matches(text, /(?<![\w/.])(docs\/[\w/-]+\.md(?:#[\w-]+)?)/g)
}

function matches(text: string, pattern: RegExp): Mention[] {
  return [...text.matchAll(pattern)].map((match) => ({ target: match[1] ?? '', offset: match.index + match[0].indexOf(match[1] ?? '') }))
}

/** A mention holds if it names a file or folder from the root, from the page's folder, or (without a folder) anywhere; and a heading. */
function exists(tree: Tree, page: string, mention: string): boolean {
  const [name = '', heading] = mention.split('#')
  const places = name === '' ? [page] : [posix.normalize(name), posix.join(posix.dirname(page), name)]
  // A room is part of the drawing before its first file is there.
  if (TOP_FOLDERS.includes(name.slice(0, -1))) return true
  if (name.endsWith('/')) return [...tree.keys()].some((path) => places.some((place) => path.startsWith(place)))
  const file =
    [...tree.keys()].find((path) => places.includes(path)) ??
    [...tree.keys()].find((path) => !name.includes('/') && path.endsWith(`/${name}`))
  if (file === undefined || heading === undefined) return file !== undefined
  return (tree.get(file) ?? '').split('\n').some((line) => /^#+ /.test(line) && anchorOf(line) === heading)
}

/** The anchor that GitHub gives a heading. */
function anchorOf(heading: string): string {
  const words = heading.replace(/^#+ /, '').trim().toLowerCase()
  return words.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/\s/g, '-')
}

type Import = {
  readonly path: string
  readonly line: number
  readonly specifier: string
  /** The file of ours that is named, if there is one. */
  readonly target: string | undefined
  /** Nothing is left of it when the code runs. */
  readonly isType: boolean
}

const importsKnown = new WeakMap<Tree, Import[]>()

/** Every import of every file, of values or types, static or not. */
function imports(tree: Tree): Import[] {
  const known = importsKnown.get(tree)
  if (known !== undefined) return known
  const found = code(tree).flatMap(([path, text]) => {
    const program = parse(text)
    return program === undefined ? [] : walk(program).flatMap(({ node }) => importOf(tree, { path, text, node }))
  })
  importsKnown.set(tree, found)
  return found
}

function importOf(tree: Tree, { path, text, node }: { path: string; text: string; node: Node }): Import[] {
  if (!/^(Import|Export\w+)Declaration$|^ImportExpression$|^TSImportType$/.test(node.type)) return []
  if (!isNode(node.source) || typeof node.source.value !== 'string') return []
  const names = Array.isArray(node.specifiers) ? node.specifiers.filter(isNode) : []
  const isType = [node.importKind, node.exportKind].includes('type') || node.type === 'TSImportType'
  const onlyTypes = names.length > 0 && names.every((name) => name.importKind === 'type' || name.exportKind === 'type')
  const specifier = node.source.value
  return [{ path, line: lineAt(text, node.start), specifier, target: resolve(tree, path, specifier), isType: isType || onlyTypes }]
}

function resolve(tree: Tree, path: string, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(path), specifier)
  return /^\.\.?\//.test(specifier) && tree.has(target) ? target : undefined
}

/** Files reached from `entries` by these imports and by `new URL('./worker.ts', import.meta.url)`. */
function reach(tree: Tree, entries: readonly string[], edges: readonly Import[]): Set<string> {
  const targets = new Map<string, (string | undefined)[]>()
  for (const { path, target } of edges) targets.set(path, [...(targets.get(path) ?? []), target])
  const reached = new Set(entries)
  for (const path of reached) {
    const urls = (tree.get(path) ?? '').matchAll(/new URL\(['"`](\.\.?\/[\w./-]+)['"`], import\.meta\.url\)/g)
    const named = [...urls].map((match) => resolve(tree, path, match[1] ?? ''))
    for (const target of [...(targets.get(path) ?? []), ...named]) if (target !== undefined) reached.add(target)
  }
  return reached
}

/** Names that a file declares anywhere: imports, variables, functions, types, parameters. */
function declaredNames(program: Node): Set<string> {
  const names = walk(program).flatMap(({ node }) => {
    if (node.type === 'CatchClause') return namesBound(node.param)
    const params = isFunction(node) && Array.isArray(node.params) ? node.params : []
    return [node.id, node.local, ...params].flatMap(namesBound)
  })
  return new Set(names)
}

/** Names that a pattern binds: `x`, `{ x, y: z }`, `[x]`, `x = 1`, `...x`. */
function namesBound(pattern: unknown): string[] {
  if (!isNode(pattern)) return []
  if (pattern.type === 'Identifier') return [nameOf(pattern) ?? '']
  const within: Record<string, unknown> = {
    ObjectPattern: pattern.properties,
    ArrayPattern: pattern.elements,
    Property: pattern.value,
    AssignmentPattern: pattern.left,
    RestElement: pattern.argument,
  }
  return [within[pattern.type]].flat().flatMap(namesBound)
}

function nameOf(node: unknown): string | undefined {
  return isNode(node) && node.type === 'Identifier' && typeof node.name === 'string' ? node.name : undefined
}

function isFunction(node: Node): boolean {
  return ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'].includes(node.type)
}

function linesOf(text: string, node: Node): number {
  return text.slice(node.start, node.end).split('\n').length
}

function linesThat(tree: Tree, isChecked: (path: string) => boolean, pattern: RegExp, what: string): string[] {
  return [...tree].flatMap(([path, text]) => {
    if (!isChecked(path)) return []
    return text.split('\n').flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${what}: ${line.trim().slice(0, 80)}`] : []))
  })
}

function code(tree: Tree): [string, string][] {
  return [...tree].filter(([path]) => isCode(path))
}

function isCode(path: string): boolean {
  return /\.(ts|tsx|mjs)$/.test(path) && !path.endsWith('.d.ts')
}

function isText(path: string): boolean {
  return isCode(path) || /\.(md|json|sol|html|css)$/.test(path) || path === '.ci/run'
}

/** The top folder of a path; empty for a file at the root. */
function roomOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
}
