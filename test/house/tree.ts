/** The repository as text, and TypeScript as a syntax tree: what the rules of the house (test/house/rules.ts) are checked on. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAst } from 'vitest/node'

/** Path from the root (with `/`) → text. Binary files have no text, only a name. */
export type Tree = ReadonlyMap<string, string>

/** A node of the syntax tree (ESTree with TypeScript's additions). */
export type Node = { readonly type: string; readonly start: number; readonly end: number; readonly [key: string]: unknown }

const foldersNotOurs = ['node_modules', '.git', '.devnet', '.vscode', '.idea', 'out', 'dist', 'coverage']
const textFile = /(\.(ts|tsx|mjs|js|json|md|sol|html|css|sh|yml|txt)|^\.ci\/run|^LICENSE|^\.\w+)$/

/** Reads every file under `root` that is ours: nothing installed, generated at run time, or git's own. */
export function readTree(root: string): Tree {
  const tree = new Map<string, string>()
  const read = (folder: string): void => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory() && !foldersNotOurs.includes(entry.name)) read(path)
      // In a worktree `.git` is a file.
      if (entry.isFile() && entry.name !== '.git') tree.set(path, textFile.test(path) ? readFileSync(join(root, path), 'utf8') : '')
    }
  }
  read('')
  return tree
}

const parsed = new Map<string, Node | undefined>()

/** The syntax tree of a TypeScript or JavaScript text; undefined if it has an error. */
export function parse(text: string): Node | undefined {
  if (!parsed.has(text)) parsed.set(text, tryParse(text))
  return parsed.get(text)
}

function tryParse(text: string): Node | undefined {
  try {
    return parseAst(text, { lang: 'ts' }) as unknown as Node
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
}

/** A node and the way to it: its parent, and the parent's key that holds it. */
export type Visit = { readonly node: Node; readonly parent: Node | undefined; readonly key: string }

/** Every node under `node`, itself first. */
export function walk(node: Node): Visit[] {
  const visits: Visit[] = []
  const visit = (one: Node, parent: Node | undefined, key: string): void => {
    visits.push({ node: one, parent, key })
    for (const [childKey, value] of Object.entries(one)) {
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child, one, childKey)
    }
  }
  visit(node, undefined, '')
  return visits
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'
}

/** The line, counted from 1, of a place in a text. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}
