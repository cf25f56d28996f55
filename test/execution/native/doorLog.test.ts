/** Logs of doors against viem's encoding of the same events. */
import fc from 'fast-check'
import { type AbiEvent, bytesToHex, decodeEventLog, encodeAbiParameters, encodeEventTopics, type Hex, parseAbiItem } from 'viem'
import { expect, test } from 'vitest'
import { doorLog } from '../../../execution/native/nativeType.ts'
import { DOOR } from '../../../genesis/params.ts'

const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => bytesToHex(bytes))
const args = fc.record({
  who: hex(20),
  root: hex(32),
  tag: hex(4),
  small: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  large: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  blob: hex(0, 100),
  name: fc.string({ unit: 'grapheme', maxLength: 70 }),
  list: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 3 }),
})

const events: readonly AbiEvent[] = [
  parseAbiItem('event Words(address indexed who, bytes32 indexed root, uint32 indexed small, bytes4 tag, uint256 large)'),
  parseAbiItem('event Bytes(uint32 indexed small, bytes32 root, bytes blob, address who, string name, uint256 large)'),
  parseAbiItem('event Arrays(bytes4 indexed tag, uint8[] list, bytes blob)'),
  parseAbiItem('event Nothing()'),
]

for (const event of events) {
  test(`${event.name}: topics and data are those that viem encodes, and reads`, () => {
    fc.assert(
      fc.property(args, (values) => {
        const log = doorLog(DOOR.ledger, event, values)
        const named = values as Readonly<Record<string, unknown>>
        const rest = event.inputs.filter(({ indexed }) => !indexed)
        expect(log).toEqual({
          address: DOOR.ledger,
          topics: encodeEventTopics({ abi: [event], eventName: event.name, args: named }),
          data: encodeAbiParameters(
            rest,
            rest.map(({ name }) => named[name ?? '']),
          ),
        })
        if (event.inputs.length > 0) expect(decodeEventLog({ abi: [event], ...log, topics: [...log.topics] as [Hex] })).toBeDefined()
      }),
    )
  })
}
