/** The rules of this house hold for every file in it. They are written down, one function each, in test/house/rules.ts. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { RULES } from './house/rules.ts'
import { readTree } from './house/tree.ts'

const tree = readTree(fileURLToPath(new URL('../', import.meta.url)))

for (const [sentence, rule] of Object.entries(RULES)) test(sentence, () => expect(rule(tree)).toEqual([]))
