/** The native lane alone leads from ledger root to ledger root, whatever the blocks hold. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decodeLane, encodeLane, executeLane, groupsOf, type LaneStart, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { arbitraryBlock, type Story, startStory, toLaneBlock } from './story.ts'

/** What the lane of blocks `first` to `last` starts from. */
function startOf({ chain, blocks, ledgerRoots }: Story, first: number, last: number): LaneStart {
  const lookups = lookupsOf(blocks.slice(first, last + 1).map(toLaneBlock))
  return { root: ledgerRoots[first] ?? '0x', readNode: chain.store.reader.ledgerNode, params: chain.genesis.params, lookups }
}

test('re-executing the rows gives the ledger root of every block, from checked transactions and from bytes', () =>
  fc.assert(
    fc.asyncProperty(fc.array(arbitraryBlock, { minLength: 1, maxLength: 6 }), async (moves) => {
      const story = await startStory()
      for (const move of moves) await story.add(move)
      const { blocks, ledgerRoots, chain } = story
      for (let first = 0; first < blocks.length; first++) {
        for (const last of new Set([first, blocks.length - 1])) {
          const rows = laneRows(blocks.slice(first, last + 1).map(toLaneBlock))
          const start = startOf(story, first, last)
          const executed = executeLane(start, rows)
          expect(executed.ok && (executed.roots.at(-1) ?? start.root)).toBe(ledgerRoots[last + 1])
          const lane = encodeLane(rows)
          const read = decodeLane(lane.bytes, chain.genesis.params.chainId)
          expect(read?.places).toEqual(lane.places)
          expect(read && executeLane(start, read.rows)).toEqual(executed)
          expect(read?.rows.map(({ block }) => block)).toEqual(rows.map(({ block }) => block))
        }
      }
    }),
    { numRuns: 12 },
  ))
