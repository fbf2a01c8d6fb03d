import { seedsTest } from './seeds.ts';

seedsTest(701, 1367);
