import { seedsTest } from './seeds.ts';

seedsTest(1, 667);
